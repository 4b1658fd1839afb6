"""The API server: transport, watch caches and queues. It knows nothing of our kinds or Istio's."""
