"""Requests on their way to a service, and its answers on their way back."""
