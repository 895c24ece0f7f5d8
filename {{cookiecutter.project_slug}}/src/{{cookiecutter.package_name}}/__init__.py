"""Who this service is: the one place that holds its name and version."""

SERVICE_NAME = "{{ cookiecutter.project_slug }}"
__version__ = "0.1.0"
