//! The raw functions behind the public ones: positional arguments, dims as lists.  The core checks values, this layer types.

pub mod conv;
pub mod creation;
pub mod index;
pub mod linalg;
pub mod loss;
pub mod movement;
pub mod norm;
pub mod optim;
pub mod random;
pub mod reduce;
pub mod sort;

use pyo3::prelude::*;

/// Adds all of them to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    conv::register(m)?;
    creation::register(m)?;
    index::register(m)?;
    linalg::register(m)?;
    loss::register(m)?;
    movement::register(m)?;
    norm::register(m)?;
    optim::register(m)?;
    random::register(m)?;
    reduce::register(m)?;
    sort::register(m)
}

/// Adds functions by name.
#[macro_export]
macro_rules! register {
    ($($name:ident),* $(,)?) => {
        /// Adds this family's functions to the module.
        pub fn register(m: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
            use pyo3::types::PyModuleMethods;
            $( m.add_function(pyo3::wrap_pyfunction!($name, m)?)?; )*
            Ok(())
        }
    };
}
