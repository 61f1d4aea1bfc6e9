//! All SQL of the local database.
