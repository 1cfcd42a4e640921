-- Beside MLflow's own: what the server predicted. PostgreSQL runs this once, when its volume is new.
CREATE DATABASE predictions;
