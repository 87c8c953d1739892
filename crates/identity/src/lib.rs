//! Claims into principals: Sluice tokens and the JWTs of configured issuers, through one strict verifier.
