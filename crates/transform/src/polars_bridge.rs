//! Arrow arrays to Polars columns through the C data interface, without copying their values.

use arrow::array::Array;
use arrow::datatypes::Field;
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use polars::prelude::{Column, PolarsError, PolarsResult, Series};
use polars_arrow::ffi;

/// Returns an array as a column. Types that both sides know: integers, `Date32`, `Decimal128`.
#[expect(unsafe_code, reason = "the C data interface, see the safety comments")]
pub(crate) fn column(name: &str, array: &dyn Array) -> PolarsResult<Column> {
    let failed = |error: arrow::error::ArrowError| {
        PolarsError::ComputeError(format!("column {name}: {error}").into())
    };
    let field = Field::new(name, array.data_type().clone(), true);
    let schema = FFI_ArrowSchema::try_from(&field).map_err(failed)?;
    let data = FFI_ArrowArray::new(&array.to_data());
    // SAFETY: both crates declare the structs of the Arrow C data interface `repr(C)`, field for
    // field; ownership moves with the value, so each is released once, by the importer.
    let (schema, data) = unsafe {
        (
            std::mem::transmute::<FFI_ArrowSchema, ffi::ArrowSchema>(schema),
            std::mem::transmute::<FFI_ArrowArray, ffi::ArrowArray>(data),
        )
    };
    // SAFETY: the schema was exported just above by arrow, which follows the interface.
    let field = unsafe { ffi::import_field_from_c(&schema) }?;
    // SAFETY: the array was exported together with that schema, so its type is the field's.
    let array = unsafe { ffi::import_array_from_c(data, field.dtype.clone()) }?;
    Series::try_from((&field, vec![array])).map(Column::from)
}
