//! Payloads and answers of a managed agent, in the forms that are documented.
