//! The PostgreSQL wire protocol: sign-in, dial, and one pure machine per connection.
