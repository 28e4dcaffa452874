//! What the catalog knows decides: views, functions, operators, unlogged and foreign tables.
