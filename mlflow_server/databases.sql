-- PostgreSQL runs this at its first start. Each service has a role that owns its database and cannot connect to any other; no
-- role is a superuser, so none can read files or run programs on the database's machine.
\getenv mlflow_password MLFLOW_DATABASE_PASSWORD
\getenv optuna_password OPTUNA_DATABASE_PASSWORD
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';
CREATE ROLE optuna LOGIN PASSWORD :'optuna_password';
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE optuna OWNER optuna;
REVOKE ALL ON DATABASE mlflow, optuna, postgres, template1 FROM PUBLIC;
