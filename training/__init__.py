"""The published training and evaluation of MA-HMR, reproduced with Hugging Face Accelerate."""
