"""Application Auto Scaling: the control plane. It keeps targets and policies; nothing scales here."""
