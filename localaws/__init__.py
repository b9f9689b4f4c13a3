"""The local AWS: ministack with what it lacks. `python -m localaws up` starts it; see README.md.

Nothing in pipeline/ or model_src/ imports this package: they meet it as any AWS, through the SDK.
"""
