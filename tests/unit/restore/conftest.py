from __future__ import annotations

from hypothesis import HealthCheck, settings

# Cores are shared with whatever else runs: a slow example says nothing about the code.
settings.register_profile("shared-cores", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared-cores")
