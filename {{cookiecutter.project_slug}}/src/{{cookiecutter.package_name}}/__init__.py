"""What this service is called: the one place that holds its name and version."""

SERVICE_NAME = "{{ cookiecutter.project_slug }}"
TITLE = {{cookiecutter.project_name | python}}
DESCRIPTION = {{cookiecutter.description | python}}
__version__ = "0.1.0"
