"""What a running pipeline tells about itself: metrics, logs, traces, figures, alert rules, a Grafana dashboard."""
