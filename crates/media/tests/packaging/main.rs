//! The packager from outside: tags in, parts and events out.

mod properties;
mod real_encoders;
mod recorder;
mod rules;
