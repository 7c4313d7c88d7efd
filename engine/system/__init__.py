"""What the engine asks of the system: folders of the user, how the process behaves beside others."""
