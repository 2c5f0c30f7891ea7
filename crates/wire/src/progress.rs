//! The lines of a pull, load, import or push: Docker's `jsonmessage.JSONMessage`.
#![allow(
    missing_docs,
    reason = "fields carry Docker's names; their meaning is that of the Engine API reference 1.51"
)]

use serde::{Deserialize, Serialize};

use crate::null_default;

/// One line of progress. The line that reports failure has `error_detail` and `error` alone.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProgressLine {
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub stream: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub status: String,
    #[serde(rename = "progressDetail", skip_serializing_if = "Option::is_none")]
    pub progress_detail: Option<ProgressDetail>,
    /// The bar as text, for clients that do not draw one.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub progress: String,
    /// Which layer.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub id: String,
    #[serde(rename = "errorDetail", skip_serializing_if = "Option::is_none")]
    pub error_detail: Option<ErrorDetail>,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_default")]
    pub error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aux: Option<serde_json::Value>,
}

impl ProgressLine {
    /// A line of plain status.
    pub fn status(text: impl Into<String>) -> Self {
        Self { status: text.into(), ..Self::default() }
    }

    /// The line that ends a stream which failed after it began.
    pub fn error(message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            error_detail: Some(ErrorDetail { code: 0, message: message.clone() }),
            error: message,
            ..Self::default()
        }
    }
}

/// How far. All zero is sent as `{}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProgressDetail {
    #[serde(skip_serializing_if = "crate::is_zero")]
    pub current: i64,
    #[serde(skip_serializing_if = "crate::is_zero")]
    pub total: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub units: String,
    #[serde(rename = "hidecounts", skip_serializing_if = "std::ops::Not::not")]
    pub hide_counts: bool,
}

/// What failed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorDetail {
    #[serde(skip_serializing_if = "crate::is_zero")]
    pub code: i64,
    pub message: String,
}
