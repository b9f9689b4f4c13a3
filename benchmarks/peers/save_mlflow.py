"""Writes an ONNX model as an MLflow model: `save_mlflow.py ONNX_FILE FOLDER`."""

import sys

import mlflow.onnx
import onnx

mlflow.onnx.save_model(onnx.load(sys.argv[1]), sys.argv[2])
