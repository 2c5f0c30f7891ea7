//! Values that templates see: what Go's types are to `text/template`, without their names.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use serde_json::Value as Json;

/// A method of a record: takes arguments, returns a value or a message.
pub(crate) type Method = Rc<dyn Fn(&[Value]) -> Result<Value, String>>;

/// A value.
#[derive(Clone)]
pub(crate) enum Value {
    /// Go's nil pointer or interface.
    Nil,
    /// An entry that a map does not have.
    Missing,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Rc<str>),
    List(Rc<Vec<Value>>),
    /// Go's nil slice: an empty list that is `null` in JSON.
    NilList,
    /// A Go map: entries in the order in which they came, shown sorted; a missing key is no error.
    Map(Rc<Vec<(String, Value)>>),
    /// Go's nil map.
    NilMap,
    /// A Go struct: a missing field is an error.
    Record(Rc<Record>),
    /// Something to call.
    Method(Method),
}

/// A struct.
pub(crate) struct Record {
    /// Go's name of it, for errors; empty when it is known only from JSON.
    pub(crate) type_name: &'static str,
    /// Fields in order.
    pub(crate) fields: Vec<Field>,
    /// Its fields are shown in JSON sorted and with HTML escaped, as Docker's rows of tables are.
    pub(crate) is_row: bool,
}

/// A field of a struct.
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) value: Value,
    /// Left out of JSON: Go's `omitempty`, or a method with arguments.
    pub(crate) omitted: bool,
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::print::plain(self))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text.into())
    }
}

impl Value {
    /// A row of a table: every column by name, in Go a struct with one method per column.
    pub(crate) fn row(type_name: &'static str, columns: Vec<(&str, String)>) -> Self {
        let fields = columns.into_iter().map(|(name, text)| Field {
            name: name.to_owned(),
            value: text.into(),
            omitted: false,
        });
        Self::Record(Rc::new(Record { type_name, fields: fields.collect(), is_row: true }))
    }

    /// A struct, whose fields keep their order in JSON.
    pub(crate) fn structure(type_name: &'static str, fields: Vec<(&str, Value)>) -> Self {
        let fields =
            fields.into_iter().map(|(name, value)| Field { name: name.to_owned(), value, omitted: false });
        Self::Record(Rc::new(Record { type_name, fields: fields.collect(), is_row: false }))
    }

    /// The same row with a method `Label NAME`.
    pub(crate) fn row_with_labels(
        type_name: &'static str,
        columns: Vec<(&str, String)>,
        labels: BTreeMap<String, String>,
    ) -> Self {
        let method: Method = Rc::new(move |args| match args {
            [Self::Str(name)] => Ok(labels.get(&**name).cloned().unwrap_or_default().into()),
            _ => Err(format!("wrong number of args for Label: want 1 got {}", args.len())),
        });
        let mut fields: Vec<Field> = columns
            .into_iter()
            .map(|(name, text)| Field { name: name.to_owned(), value: text.into(), omitted: false })
            .collect();
        fields.push(Field { name: "Label".to_owned(), value: Self::Method(method), omitted: true });
        Self::Record(Rc::new(Record { type_name, fields, is_row: true }))
    }

    /// The same struct with Go's name for its type.
    pub(crate) fn typed(self, type_name: &'static str) -> Self {
        match self {
            Self::Record(record) => {
                let fields = record.fields.iter().map(|field| Field {
                    name: field.name.clone(),
                    value: field.value.clone(),
                    omitted: field.omitted,
                });
                Self::Record(Rc::new(Record { type_name, fields: fields.collect(), is_row: record.is_row }))
            }
            other => other,
        }
    }

    /// The same struct with another value in one field.
    pub(crate) fn with_field(self, name: &str, value: Value) -> Self {
        let Self::Record(record) = self else { return self };
        let fields = record.fields.iter().map(|field| Field {
            name: field.name.clone(),
            value: if field.name == name { value.clone() } else { field.value.clone() },
            omitted: field.omitted,
        });
        Self::Record(Rc::new(Record {
            type_name: record.type_name,
            fields: fields.collect(),
            is_row: record.is_row,
        }))
    }

    /// The headings of a table: columns by name, and `Label NAME`, whose heading is the last word of the name.
    pub(crate) fn headings(columns: &[(&str, &str)]) -> Self {
        let label: Method = Rc::new(|args| match args {
            [Self::Str(name)] => {
                Ok(name.rsplit('.').next().unwrap_or_default().replace(['-', '_'], " ").into())
            }
            _ => Err(format!("wrong number of args for Label: want 1 got {}", args.len())),
        });
        let mut entries: Vec<(String, Value)> =
            columns.iter().map(|(name, heading)| ((*name).to_owned(), (*heading).into())).collect();
        entries.push(("Label".to_owned(), Self::Method(label)));
        Self::Map(Rc::new(entries))
    }

    /// A document of the API, as Docker's client sees it after decoding it into Go's types.
    pub(crate) fn from_json(json: &Json) -> Self {
        convert(json, "", "")
    }

    /// Go's truth: not zero, not empty.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Self::Nil | Self::Missing | Self::NilList | Self::NilMap => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Str(text) => !text.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Map(entries) => !entries.is_empty(),
            Self::Record(_) | Self::Method(_) => true,
        }
    }
}

/// Objects under these names are Go maps, with keys of the user's; all others are structs.
const MAPS: [&str; 24] = [
    "Labels",
    "Volumes",
    "ExposedPorts",
    "PortBindings",
    "Ports",
    "Networks",
    "Options",
    "Sysctls",
    "Tmpfs",
    "StorageOpt",
    "Annotations",
    "DriverOpts",
    "Data",
    "Containers",
    "Status",
    "AuxiliaryAddresses",
    "Annotation",
    "Runtimes",
    "IndexConfigs",
    "Attributes",
    "Spec",
    "Details",
    "UsageData",
    "Services",
];
/// Nulls under these names are Go pointers; others are lists, or maps if named above.
const POINTERS: [&str; 20] = [
    "OomKillDisable",
    "PidsLimit",
    "MemorySwappiness",
    "Init",
    "IPAMConfig",
    "Health",
    "Healthcheck",
    "StopTimeout",
    "SizeRw",
    "SizeRootFs",
    "BindOptions",
    "VolumeOptions",
    "TmpfsOptions",
    "ImageOptions",
    "Swarm",
    "Cluster",
    "RemoteManagers",
    "Descriptor",
    "State",
    "ClusterVolume",
];

/// Fields that Docker's types have and its JSON leaves out when they are empty.
pub(super) fn omitted_field(name: &str) -> Option<Value> {
    Some(match name {
        "Health"
        | "Healthcheck"
        | "StopTimeout"
        | "Init"
        | "SizeRw"
        | "SizeRootFs"
        | "ImageManifestDescriptor"
        | "BindOptions"
        | "VolumeOptions"
        | "TmpfsOptions"
        | "ImageOptions"
        | "ClusterVolume"
        | "UsageData" => Value::Nil,
        "StopSignal" | "MacAddress" | "Runtime" | "Variant" | "OsVersion" | "DockerVersion" | "Parent"
        | "Comment" | "Author" | "Container" | "CreatedAt" | "Propagation" | "CPUCfsPeriod" => "".into(),
        "ExposedPorts" | "Tmpfs" | "StorageOpt" | "Sysctls" | "Annotations" | "Status" => Value::NilMap,
        "Mounts" | "Shell" | "Services" => Value::NilList,
        "KernelMemory" | "KernelMemoryTCP" | "VirtualSize" => Value::Int(0),
        "ArgsEscaped" | "NetworkDisabled" => Value::Bool(false),
        _ => return None,
    })
}

fn convert(json: &Json, name: &str, parent: &str) -> Value {
    let is_map = MAPS.contains(&name) && !(name == "Data" && parent.is_empty())
        || (name == "Config" && parent == "LogConfig");
    match json {
        Json::Null if is_map => Value::NilMap,
        Json::Null if POINTERS.contains(&name) => Value::Nil,
        Json::Null => Value::NilList,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Value::Int(value.into()),
            (_, Some(value)) => Value::Int(value.into()),
            _ => Value::Float(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => text.as_str().into(),
        // Elements of a list are of one kind; a null among them would be a pointer.
        Json::Array(items) => {
            Value::List(Rc::new(items.iter().map(|item| convert(item, "", name)).collect()))
        }
        Json::Object(object) if is_map => {
            let entry = |(key, value): (&String, &Json)| (key.clone(), convert(value, "", name));
            Value::Map(Rc::new(object.iter().map(entry).collect()))
        }
        Json::Object(object) => {
            let mut fields: Vec<Field> = object
                .iter()
                .map(|(key, value)| Field {
                    name: key.clone(),
                    value: convert(value, key, name),
                    omitted: false,
                })
                .collect();
            if parent == "Mounts"
                || name.is_empty() && object.contains_key("Destination") && object.contains_key("RW")
            {
                complete_mount_point(&mut fields);
            }
            if name == "State" && parent.is_empty() && !object.contains_key("Health") {
                fields.push(Field { name: "Health".to_owned(), value: Value::Nil, omitted: true });
            }
            Value::Record(Rc::new(Record { type_name: "", fields, is_row: false }))
        }
    }
}

/// A bind mount's JSON has neither `Name` nor `Driver`; Go's struct has both, and shows them empty.
fn complete_mount_point(fields: &mut Vec<Field>) {
    for (place, name) in [(1, "Name"), (4, "Driver")] {
        if !fields.iter().any(|field| field.name == name) && fields.len() >= place {
            fields.insert(place, Field { name: name.to_owned(), value: "".into(), omitted: true });
        }
    }
}
