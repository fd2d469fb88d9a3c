"""The stages of dvc.yaml: each wires parameters, library and files together."""
