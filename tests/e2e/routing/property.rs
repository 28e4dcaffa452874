//! Random transactions: the same through the proxy as on a lone PostgreSQL.
