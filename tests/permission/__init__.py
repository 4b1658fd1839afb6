"""Permission at a gateway, seen from the interface alone: objects in, objects out."""
