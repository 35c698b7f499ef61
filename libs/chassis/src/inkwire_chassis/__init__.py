"""Service plumbing: settings, logs, lifecycle, health, NATS connection, provisioning, auth."""
