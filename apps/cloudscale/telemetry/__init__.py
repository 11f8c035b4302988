"""Telemetry of a running pipeline: metrics, logs, traces, figures, alert rules, a Grafana dashboard."""
