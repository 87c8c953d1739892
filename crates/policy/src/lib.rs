//! Cedar policies and protocol schemas, compiled into one pure decision function.
