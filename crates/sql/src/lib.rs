//! PostgreSQL text into effects, relations, columns and functions, and text rewritten so that protected columns are masked at the source.
