"""Language models: messages, the port to a model, and the Function that calls one."""
