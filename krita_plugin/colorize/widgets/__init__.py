"""The docker's widgets: setters and signals that know neither Krita nor the engine."""
