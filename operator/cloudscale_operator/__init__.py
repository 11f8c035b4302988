"""The operator: makes what an EventPipeline asks for, and keeps it so."""
