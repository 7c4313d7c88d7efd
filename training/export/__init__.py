"""Weights out and in: ONNX files, and the published weights of others."""
