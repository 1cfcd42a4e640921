"""What a project's runs left behind, read as evidence: tracked metrics, profiles, load tests, drift reports."""
