//! What each type becomes, in files of the Parquet writer of the same library; other writers come in
//! `tests/parquet_inputs.rs`.

use std::io::{Seek, SeekFrom, Write};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Date64Array, Decimal32Array, Decimal64Array,
    Decimal128Array, Decimal256Array, DictionaryArray, DurationSecondArray, FixedSizeBinaryArray,
    Float16Array, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array,
    LargeStringArray, ListArray, NullArray, RecordBatch, StringArray, StringViewArray, StructArray,
    Time64MicrosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::datatypes::{Field, Int32Type, i256};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, FixedLenByteArray};
use parquet::data_type::{FixedLenByteArrayType, Int32Type as PhysicalInt32, Int96, Int96Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::*;

/// The bytes of a Parquet file of some columns.
fn file_of(columns: Vec<(&str, ArrayRef)>, properties: WriterProperties) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// The bytes of a file with one column, described as Parquet does.
fn raw_file<T: DataType>(column: &str, values: &[T::T], levels: Option<&[i16]>) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(&format!("message file {{ {column}; }}")).unwrap());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Default::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<T>().write_batch(values, levels, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

fn opened(bytes: &[u8]) -> io::Result<ParquetText> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    open(file)
}

fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    opened(bytes)?.read_to_end(&mut text)?;
    Ok(text)
}

/// Asserts what the values of a column become.
#[track_caller]
fn check(array: impl arrow::array::Array + 'static, expected: &[&str]) {
    let bytes = file_of(vec![("a", Arc::new(array))], WriterProperties::default());
    check_file(&bytes, expected);
}

#[track_caller]
fn check_file(bytes: &[u8], expected: &[&str]) {
    let text = String::from_utf8(read(bytes).unwrap()).unwrap();
    let lines: Vec<&str> = text.strip_suffix('\n').unwrap().split('\n').collect();
    assert_eq!(lines[0], "a");
    assert_eq!(lines[1..], *expected);
}

/// Asserts that a file is refused, and what is said.
#[track_caller]
fn check_refused(bytes: &[u8], kind: io::ErrorKind, words: &[&str]) {
    let error = read(bytes).expect_err("the file is refused");
    assert_eq!(error.kind(), kind, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{word:?} is not in: {error}");
    }
}

#[test]
fn integers_are_digits() {
    check(Int8Array::from(vec![i8::MIN, 0, i8::MAX]), &["-128", "0", "127"]);
    check(Int16Array::from(vec![i16::MIN, i16::MAX]), &["-32768", "32767"]);
    check(Int32Array::from(vec![Some(i32::MIN), None, Some(7)]), &["-2147483648", "", "7"]);
    check(
        Int64Array::from(vec![i64::MIN, i64::MAX]),
        &["-9223372036854775808", "9223372036854775807"],
    );
    check(UInt8Array::from(vec![u8::MAX]), &["255"]);
    check(UInt16Array::from(vec![u16::MAX]), &["65535"]);
    check(UInt32Array::from(vec![u32::MAX]), &["4294967295"]);
    check(UInt64Array::from(vec![u64::MAX]), &["18446744073709551615"]);
}

#[test]
fn decimals_are_exact_in_every_width() {
    let narrow = Decimal32Array::from(vec![Some(-12_345), None]);
    check(narrow.with_precision_and_scale(9, 4).unwrap(), &["-1.2345", ""]);
    let middle = Decimal64Array::from(vec![123_456_789_012_345_678]);
    check(middle.with_precision_and_scale(18, 10).unwrap(), &["12345678.9012345678"]);
    let cost = 2_618_755_954_811_488_071_493_712_087_i128;
    let wide = Decimal128Array::from(vec![Some(cost), Some(-1), None]);
    check(
        wide.with_precision_and_scale(38, 28).unwrap(),
        &["0.2618755954811488071493712087", "-0.0000000000000000000000000001", ""],
    );
    let whole = Decimal128Array::from(vec![36_916]);
    check(whole.with_precision_and_scale(38, 0).unwrap(), &["36916"]);
    let widest = [i256::from(-15), i256::MAX, i256::from_parts(0, -1)];
    check(
        Decimal256Array::from(widest.to_vec()).with_precision_and_scale(76, 1).unwrap(),
        &[
            "-1.5",
            "5789604461865809771178549250434395392663499233282028201972879200395656481996.7",
            "-34028236692093846346337460743176821145.6",
        ],
    );
}

#[test]
fn decimals_in_byte_arrays_are_exact() {
    let value = |bytes: &[u8]| ByteArray::from(bytes.to_vec());
    let column = "optional binary a (DECIMAL(38, 2))";
    let values = [value(&[0xff]), value(&[1, 0]), value(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0])];
    check_file(
        &raw_file::<ByteArrayType>(column, &values, Some(&[1, 0, 1, 1])),
        &["-0.01", "", "2.56", "-23611832414348226068.48"],
    );
    let fixed = FixedLenByteArray::from(vec![0xff, 0x85]);
    let column = "required fixed_len_byte_array(2) a (DECIMAL(3, 1))";
    check_file(&raw_file::<FixedLenByteArrayType>(column, &[fixed], None), &["-12.3"]);
}

#[test]
fn booleans_and_nothing() {
    check(BooleanArray::from(vec![Some(true), None, Some(false)]), &["True", "", "False"]);
    check(NullArray::new(2), &["", ""]);
}

#[test]
fn floats_are_shortest_and_named() {
    check(
        Float64Array::from(vec![Some(0.1), None, Some(f64::NAN), Some(1e300)]),
        &["0.1", "", "NaN", "1e300"],
    );
    check(Float32Array::from(vec![0.1, f32::NEG_INFINITY]), &["0.1", "-Infinity"]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("Quantity", Arc::new(Float64Array::from(vec![1.0]))),
        ("Cost", Arc::new(Int32Array::from(vec![1]))),
        ("Rate", Arc::new(Float32Array::from(vec![1.0]))),
    ];
    let text = opened(&file_of(columns, WriterProperties::default())).unwrap();
    assert_eq!(text.float_columns(), ["Quantity", "Rate"]);
}

#[test]
fn texts_are_as_they_are() {
    let texts = vec![Some("Öl, Gas"), None, Some(""), Some("24\"")];
    let fields = ["\"Öl, Gas\"", "", "", "\"24\"\"\""];
    check(StringArray::from(texts.clone()), &fields);
    check(LargeStringArray::from(texts.clone()), &fields);
    check(StringViewArray::from(texts.clone()), &fields);
    check(texts.into_iter().collect::<DictionaryArray<Int32Type>>(), &fields);
    check(BinaryArray::from(vec![b"plain".as_slice(), b"a,b"]), &["plain", "\"a,b\""]);
}

#[test]
fn bytes_that_are_no_text_pass_for_the_reader_to_see() {
    let bytes = b"M\xfcnchen";
    for column in ["required binary a", "required binary a (UTF8)", "required binary a (JSON)"] {
        let file = raw_file::<ByteArrayType>(column, &[ByteArray::from(bytes.to_vec())], None);
        assert_eq!(read(&file).unwrap(), b"a\nM\xfcnchen\n", "{column}");
    }
    let fixed = FixedSizeBinaryArray::try_from_iter([*b"ab", *b"c\xff"].iter()).unwrap();
    let file = file_of(vec![("a", Arc::new(fixed))], WriterProperties::default());
    assert_eq!(read(&file).unwrap(), b"a\nab\nc\xff\n");
}

#[test]
fn uuids_are_text() {
    let value = FixedLenByteArray::from((0..16).collect::<Vec<u8>>());
    let column = "required fixed_len_byte_array(16) a (UUID)";
    check_file(
        &raw_file::<FixedLenByteArrayType>(column, &[value], None),
        &["00010203-0405-0607-0809-0a0b0c0d0e0f"],
    );
}

#[test]
fn days_and_moments_are_iso() {
    check(Date32Array::from(vec![Some(20_270), None, Some(-1)]), &["2025-07-01", "", "1969-12-31"]);
    let milliseconds = vec![Some(1_751_328_000_000), None, Some(-1)];
    let expected = ["2025-07-01T00:00:00Z", "", "1969-12-31T23:59:59.999000000Z"];
    check(TimestampMillisecondArray::from(milliseconds.clone()), &expected);
    check(TimestampMillisecondArray::from(milliseconds.clone()).with_timezone("UTC"), &expected);
    check(TimestampMillisecondArray::from(milliseconds).with_timezone("+05:30"), &expected);
    check(
        TimestampMicrosecondArray::from(vec![-2_208_988_800_000_000, 16_725_225_600_000_000]),
        &["1900-01-01T00:00:00Z", "2500-01-01T00:00:00Z"],
    );
    check(
        TimestampNanosecondArray::from(vec![1_751_328_000_000_000_001, i64::MIN]),
        &["2025-07-01T00:00:00.000000001Z", "1677-09-21T00:12:43.145224192Z"],
    );
}

#[test]
fn arrow_types_that_parquet_does_not_know_are_what_parquet_stores() {
    // Parquet has no such type: Arrow writes a plain integer, and a note that only Arrow reads.
    check(Date64Array::from(vec![86_400_000]), &["86400000"]);
    check(DurationSecondArray::from(vec![90]), &["90"]);
}

fn int96(julian_day: i32, nanoseconds: u64) -> Int96 {
    let mut value = Int96::new();
    let [low, high] = [nanoseconds, nanoseconds >> 32].map(|part| (part & 0xffff_ffff) as u32);
    value.set_data(low, high, julian_day.cast_unsigned());
    value
}

#[test]
fn int96_never_overflows() {
    // Julian days of 1900-01-01, 2025-07-01, 2500-01-01.
    let values = [
        int96(2_415_021, 0),
        int96(2_460_858, 0),
        int96(2_634_167, 0),
        // What a coarser unit than the nanosecond would lose.
        int96(2_460_858, 1),
        int96(2_460_858, 86_399_999_999_999),
        // Days whose microseconds fit no 64 bits.
        int96(i32::MAX, 0),
        int96(i32::MIN, u64::MAX),
        // More than a day of nanoseconds.
        int96(2_460_858, 86_400_000_000_000),
    ];
    let expected = [
        "1900-01-01T00:00:00Z",
        "2025-07-01T00:00:00Z",
        "2500-01-01T00:00:00Z",
        "2025-07-01T00:00:00.000000001Z",
        "2025-07-01T23:59:59.999999999Z",
        "5874898-06-03T00:00:00Z",
        "-5884323-05-14T23:59:59.999999999Z",
        "2025-07-02T00:00:00Z",
    ];
    check_file(&raw_file::<Int96Type>("required int96 a", &values, None), &expected);
    let values = [int96(2_460_858, 0), int96(2_460_859, 0)];
    let file = raw_file::<Int96Type>("optional int96 a", &values, Some(&[0, 1, 0, 0, 1]));
    check_file(&file, &["", "2025-07-01T00:00:00Z", "", "", "2025-07-02T00:00:00Z"]);
}

#[test]
fn int96_keeps_its_place_between_other_columns_over_many_batches() {
    let schema = "message file { required int32 a; optional int96 b; required int32 c; }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Default::default()).unwrap();
    for group in 0..3 {
        let rows = 0..10_000_i32;
        let mut columns = writer.next_row_group().unwrap();
        for at in 0..3 {
            let mut column = columns.next_column().unwrap().unwrap();
            if at == 1 {
                let levels: Vec<i16> = rows.clone().map(|row| i16::from(row % 3 > 0)).collect();
                let kept = rows.clone().filter(|row| row % 3 > 0);
                let values: Vec<Int96> = kept.map(|row| int96(2_440_588 + row, 0)).collect();
                column.typed::<Int96Type>().write_batch(&values, Some(&levels), None).unwrap();
            } else {
                let values: Vec<i32> = rows.clone().map(|row| row + group * 10_000 + at).collect();
                column.typed::<PhysicalInt32>().write_batch(&values, None, None).unwrap();
            }
            column.close().unwrap();
        }
        columns.close().unwrap();
    }
    writer.close().unwrap();
    let text = String::from_utf8(read(&bytes).unwrap()).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("a,b,c"));
    for at in 0..30_000_i32 {
        let (row, mut day) = (at % 10_000, Vec::new());
        if row % 3 > 0 {
            cells::write_moment(i64::from(row) * 86_400, 0, &mut day);
        }
        let day = String::from_utf8(day).unwrap();
        assert_eq!(lines.next().unwrap(), format!("{at},{day},{}", at + 2));
    }
    assert_eq!(lines.next(), None);
}

#[test]
fn types_without_text_are_refused_by_name() {
    let refused = |array: ArrayRef, words: &[&str]| {
        let file = file_of(vec![("Odd", array)], WriterProperties::default());
        check_refused(&file, io::ErrorKind::Unsupported, words);
    };
    refused(Arc::new(Time64MicrosecondArray::from(vec![1])), &["`Odd`", "Time64"]);
    refused(Arc::new(Float16Array::from_iter_values([])), &["`Odd`", "Float16"]);
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)])]);
    refused(Arc::new(list), &["`Odd`", "list"]);
    let inner: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let field = Arc::new(Field::new("x", arrow::datatypes::DataType::Int32, true));
    refused(Arc::new(StructArray::from(vec![(field, inner)])), &["`Odd`", "struct"]);
    let interval = FixedLenByteArray::from(vec![0; 12]);
    let column = "required fixed_len_byte_array(12) Odd (INTERVAL)";
    let file = raw_file::<FixedLenByteArrayType>(column, &[interval], None);
    check_refused(&file, io::ErrorKind::Unsupported, &["`Odd`", "Interval"]);
    let column = "repeated int32 Odd";
    let schema = Arc::new(parse_message_type(&format!("message file {{ {column}; }}")).unwrap());
    let mut file = Vec::new();
    SerializedFileWriter::new(&mut file, schema, Default::default()).unwrap().close().unwrap();
    check_refused(&file, io::ErrorKind::Unsupported, &["`Odd`", "list"]);
}

#[test]
fn compressions_are_read_or_refused_by_name() {
    let columns = || -> Vec<(&str, ArrayRef)> {
        let repeated = std::iter::repeat_n("many times the same", 5000);
        vec![("a", Arc::new(repeated.map(Some).collect::<StringArray>()))]
    };
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
    ] {
        let properties = WriterProperties::builder().set_compression(compression);
        let file = file_of(columns(), properties.set_max_row_group_row_count(Some(700)).build());
        check_file(&file, &["many times the same"; 5000]);
    }
}

#[test]
fn names_are_a_header_line() {
    let number = |value| -> ArrayRef { Arc::new(Int32Array::from(vec![value])) };
    let columns = vec![("Datum (Date)", number(1)), ("a,b", number(2)), ("", number(3))];
    let file = file_of(columns, WriterProperties::default());
    assert_eq!(read(&file).unwrap(), b"Datum (Date),\"a,b\",\n1,2,3\n");
}

#[test]
fn a_file_without_rows_is_a_header() {
    check(Int32Array::from(Vec::<i32>::new()), &[]);
}

/// A file of the usual types, with some pages.
fn usual_file() -> Vec<u8> {
    let rows = 0..3000_i32;
    let texts = rows.clone().map(|row| (row % 7 > 0).then(|| format!("text {}", row % 100)));
    let costs = rows.clone().map(|row| Some(i128::from(row) * 1_000_003));
    let costs = costs.collect::<Decimal128Array>().with_precision_and_scale(38, 18).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(1000))
        .set_data_page_row_count_limit(400);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("Text", Arc::new(texts.collect::<StringArray>())),
        ("Cost", Arc::new(costs)),
        ("Date", Arc::new(rows.clone().map(Some).collect::<Date32Array>())),
        ("Number", Arc::new(rows.map(|row| Some(f64::from(row))).collect::<Float64Array>())),
    ];
    file_of(columns, properties.build())
}

#[test]
fn cut_files_are_refused() {
    let file = usual_file();
    let whole = read(&file).unwrap();
    assert_eq!(whole.iter().filter(|byte| **byte == b'\n').count(), 3001);
    for length in (0..file.len()).step_by(397).chain([4, 8, file.len() - 1, file.len() - 4]) {
        let error = read(&file[..length]).expect_err("a file that was cut");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{length}: {error}");
    }
    // Something in front moves every offset.
    assert!(read(&[b"PAR1".as_slice(), &file[100..]].concat()).is_err());
}

#[test]
fn flipped_bytes_never_panic() {
    let file = usual_file();
    let whole = read(&file).unwrap();
    let (mut refused, mut other) = (0, 0);
    for at in (4..file.len()).step_by(101) {
        let mut bytes = file.clone();
        bytes[at] ^= 1 << (at % 8);
        match read(&bytes) {
            Ok(text) if text == whole => {}
            Ok(_) => other += 1,
            Err(_) => refused += 1,
        }
    }
    // A flipped bit of a value, of a file without checksums, is another value: nothing can tell.
    assert!(refused > 0, "{refused} refused, {other} other");
}

#[test]
fn glued_files_are_refused() {
    let file = usual_file();
    let other = file_of(vec![("a", Arc::new(NullArray::new(1)))], WriterProperties::default());
    for parts in [[&file, &file], [&file, &other], [&other, &file]] {
        assert!(read(&parts.map(Vec::as_slice).concat()).is_err());
    }
    check_refused(&file.repeat(2), io::ErrorKind::InvalidData, &["glued together"]);
}

#[test]
fn encrypted_files_are_refused_as_such() {
    check_refused(b"PAR1....PARE", io::ErrorKind::Unsupported, &["encrypted"]);
    check_refused(b"PARE....PARE", io::ErrorKind::Unsupported, &["encrypted"]);
}

#[test]
fn files_are_known_by_their_first_bytes() {
    let known = |bytes: &[u8]| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let known = is_parquet(&file).unwrap();
        assert_eq!(file.stream_position().unwrap(), 0);
        known
    };
    assert!(known(b"PAR1...") && known(b"PARE"));
    assert!(!known(b"") && !known(b"PAR") && !known(b"Date,Cost"));
}

#[test]
fn a_panic_is_an_error() {
    let error = guarded(|| -> io::Result<()> { panic!("no such page") }).unwrap_err();
    assert_eq!(error.to_string(), "the Parquet file is damaged: no such page");
    let error = guarded(|| -> io::Result<()> { panic!("page {}", 7) }).unwrap_err();
    assert_eq!(error.to_string(), "the Parquet file is damaged: page 7");
}
