//! pi driver
mod machine;
mod protocol;
mod steers;
mod turn;
