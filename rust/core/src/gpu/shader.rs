//! The WGSL library and its small preprocessor.
//!
//! Files live in `shaders/`, named like the op family.  Lines may say `#import NAME`, `#ifdef NAME`, `#else`,
//! `#endif`; `{{NAME}}` stands for the value of a define.  That is all: a shader stays readable as WGSL.

use std::collections::HashSet;
use std::fmt::Write;

macro_rules! library {
    ($($name:literal),* $(,)?) => {
        /// Every file of `shaders/`, by name.
        pub const LIBRARY: &[(&str, &str)] =
            &[$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shaders/", $name, ".wgsl")))),*];
    };
}
library![
    "adam",
    "arg_reduce",
    "avg_pool2d",
    "avg_pool2d_backward",
    "avg_pool2d_window",
    "common",
    "conv2d",
    "conv2d_input_grad",
    "conv2d_params",
    "conv2d_weight_grad",
    "cumsum",
    "elementwise",
    "fault",
    "gather",
    "gemm",
    "math",
    "matmul",
    "max_pool2d",
    "max_pool2d_backward",
    "philox",
    "pool2d_params",
    "reduce",
    "row",
    "scatter",
    "sgd",
    "softmax",
    "softmax_backward"
];

/// Which shader, in which variant: the key of the pipeline cache.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ShaderKey {
    /// Name of the file in `shaders/`, without its extension.
    pub file: &'static str,
    /// Values for `{{NAME}}`; a name that is present satisfies `#ifdef`.
    pub defines: Vec<(&'static str, String)>,
    /// An input is the very buffer of an output, so inputs must be declared writable too: WebGPU refuses a buffer
    /// that one dispatch binds both ways.
    pub aliased: bool,
}

impl ShaderKey {
    /// A variant of `file`.
    pub fn new(file: &'static str) -> Self {
        Self { file, defines: Vec::new(), aliased: false }
    }

    /// Sets a define.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.defines.push((name, value.into()));
        self
    }

    /// Sets a define without a value where the condition holds.
    #[must_use]
    pub fn when(self, condition: bool, name: &'static str) -> Self {
        if condition { self.with(name, "") } else { self }
    }

    /// A readable name that identifies the variant; the pipeline's label.
    pub fn label(&self) -> String {
        let mut label = self.file.to_owned();
        for (name, value) in &self.defines {
            let _ = write!(label, " {name}={value}");
        }
        if self.aliased {
            label.push_str(" aliased");
        }
        label
    }

    /// The WGSL text of the variant and its access string (see [`Executor::pipeline`](super::Executor::pipeline)).
    ///
    /// An error is a mistake in the shader or its caller, not in the user's input.
    pub fn source(&self) -> Result<(String, String), String> {
        let mut out = String::new();
        let defines: Vec<(&str, &str)> = self.defines.iter().map(|(n, v)| (*n, v.as_str())).collect();
        expand(self.file, &defines, &mut HashSet::new(), &mut out)?;
        if self.aliased {
            out = out.replace("var<storage, read>", "var<storage, read_write>");
        }
        let access = access(&out)?;
        Ok((out, access))
    }
}

/// Appends `file` to `out`, with its imports first met expanded in place.
fn expand(
    file: &str,
    defines: &[(&str, &str)],
    imported: &mut HashSet<String>,
    out: &mut String,
) -> Result<(), String> {
    let text = LIBRARY.iter().find(|(name, _)| *name == file).map(|(_, text)| *text);
    let text = text.ok_or_else(|| format!("shader {file}.wgsl does not exist"))?;
    imported.insert(file.to_owned());
    // One entry per open #ifdef: whether the lines of its current branch count.
    let mut branches: Vec<bool> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let place = || format!("shaders/{file}.wgsl:{}", number + 1);
        let mut words = line.split_whitespace();
        let active = branches.iter().all(|&b| b);
        match words.next() {
            Some("#ifdef") => {
                let name = words.next().ok_or_else(|| format!("{}: #ifdef wants a name", place()))?;
                branches.push(defines.iter().any(|(n, _)| *n == name));
            }
            Some("#else") => {
                let branch = branches.last_mut().ok_or_else(|| format!("{}: #else without #ifdef", place()))?;
                *branch = !*branch;
            }
            Some("#endif") => {
                branches.pop().ok_or_else(|| format!("{}: #endif without #ifdef", place()))?;
            }
            _ if !active => {}
            Some("#import") => {
                let name = words.next().ok_or_else(|| format!("{}: #import wants a name", place()))?;
                if !imported.contains(name) {
                    expand(name, defines, imported, out)?;
                }
            }
            Some(word) if word.starts_with('#') => return Err(format!("{}: unknown directive {word}", place())),
            _ => {
                substitute(line, defines, out).map_err(|e| format!("{}: {e}", place()))?;
                out.push('\n');
            }
        }
    }
    if branches.is_empty() { Ok(()) } else { Err(format!("shaders/{file}.wgsl: #ifdef without #endif")) }
}

/// Appends `line` with every `{{NAME}}` replaced.
fn substitute(line: &str, defines: &[(&str, &str)], out: &mut String) -> Result<(), String> {
    let mut rest = line;
    while let Some(start) = rest.find("{{") {
        let end = rest[start..].find("}}").ok_or("{{ without }}")? + start;
        let name = &rest[start + 2..end];
        let (_, value) = defines.iter().find(|(n, _)| *n == name).ok_or_else(|| format!("{name} is not defined"))?;
        out.push_str(&rest[..start]);
        out.push_str(value);
        rest = &rest[end + 2..];
    }
    out.push_str(rest);
    Ok(())
}

/// Reads how each storage buffer is declared, in binding order from 1.
fn access(wgsl: &str) -> Result<String, String> {
    let mut letters = Vec::new();
    for line in wgsl.lines() {
        let Some(rest) = line.trim_start().strip_prefix("@group(0) @binding(") else { continue };
        let (number, rest) = rest.split_once(')').ok_or("@binding without a number")?;
        let number: usize = number.parse().map_err(|_| format!("@binding({number}) is not a number"))?;
        let letter = if rest.contains("var<storage, read_write>") {
            'w'
        } else if rest.contains("var<storage, read>") {
            'r'
        } else {
            continue;
        };
        letters.push((number, letter));
    }
    letters.sort_unstable();
    if letters.iter().enumerate().any(|(i, &(number, _))| number != i + 1) {
        return Err("storage buffers must have the bindings 1, 2, ...".to_owned());
    }
    Ok(letters.into_iter().map(|(_, letter)| letter).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand_text(text: &str, defines: &[(&str, &str)]) -> Result<String, String> {
        let mut out = String::new();
        for line in text.lines() {
            substitute(line, defines, &mut out)?;
        }
        Ok(out)
    }

    #[test]
    fn substitution_replaces_every_name_and_refuses_unknown_ones() {
        let defines = [("A", "x + y"), ("T", "f32")];
        assert_eq!(expand_text("let v: {{T}} = {{T}}({{A}});", &defines), Ok("let v: f32 = f32(x + y);".to_owned()));
        assert_eq!(expand_text("{{B}}", &defines), Err("B is not defined".to_owned()));
    }

    #[test]
    fn access_follows_the_declarations() {
        let wgsl = "@group(0) @binding(0) var<uniform> p: P;\n\
                    @group(0) @binding(2) var<storage, read> a: array<f32>;\n\
                    @group(0) @binding(1) var<storage, read_write> o: array<f32>;";
        assert_eq!(access(wgsl), Ok("wr".to_owned()));
        assert!(access("@group(0) @binding(2) var<storage, read> a: array<f32>;").is_err());
    }
}
