"""Every YAML that perwatt composes; Hydra looks for this file to accept the folder as ``pkg://perwatt.conf``."""
