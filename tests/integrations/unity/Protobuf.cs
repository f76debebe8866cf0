// Stand-ins for the parts of Google.Protobuf 3 that generated messages use, so that a compiler can
// check the example where there is no NuGet. Nothing here does anything.
using System;
using System.Collections;
using System.Collections.Generic;

namespace Google.Protobuf
{
    public interface IMessage
    {
        Reflection.MessageDescriptor Descriptor { get; }
        int CalculateSize();
        void MergeFrom(CodedInputStream input);
        void WriteTo(CodedOutputStream output);
    }

    public interface IMessage<T> : IMessage, IEquatable<T> where T : IMessage<T>
    {
        T Clone();
        void MergeFrom(T message);
    }

    public static class MessageExtensions
    {
        public static byte[] ToByteArray(this IMessage message) { return null; }
    }

    public class MessageParser
    {
    }

    public sealed class MessageParser<T> : MessageParser where T : IMessage<T>
    {
        public MessageParser(Func<T> factory) { }
        public T ParseFrom(byte[] data) { return default(T); }
    }

    public sealed class ByteString
    {
        public static ByteString Empty { get { return null; } }
        public int Length { get { return 0; } }
        public static ByteString CopyFrom(params byte[] bytes) { return null; }
        public byte[] ToByteArray() { return null; }
    }

    public sealed class CodedInputStream
    {
        public uint ReadTag() { return 0; }
        public bool ReadBool() { return false; }
        public ByteString ReadBytes() { return null; }
        public double ReadDouble() { return 0; }
        public int ReadEnum() { return 0; }
        public float ReadFloat() { return 0; }
        public int ReadInt32() { return 0; }
        public string ReadString() { return null; }
        public uint ReadUInt32() { return 0; }
        public ulong ReadUInt64() { return 0; }
        public void ReadMessage(IMessage message) { }
    }

    public sealed class CodedOutputStream
    {
        public static int ComputeBytesSize(ByteString value) { return 0; }
        public static int ComputeEnumSize(int value) { return 0; }
        public static int ComputeInt32Size(int value) { return 0; }
        public static int ComputeMessageSize(IMessage value) { return 0; }
        public static int ComputeStringSize(string value) { return 0; }
        public static int ComputeUInt32Size(uint value) { return 0; }
        public static int ComputeUInt64Size(ulong value) { return 0; }
        public void WriteRawTag(byte a) { }
        public void WriteRawTag(byte a, byte b) { }
        public void WriteBool(bool value) { }
        public void WriteBytes(ByteString value) { }
        public void WriteDouble(double value) { }
        public void WriteEnum(int value) { }
        public void WriteFloat(float value) { }
        public void WriteInt32(int value) { }
        public void WriteMessage(IMessage value) { }
        public void WriteString(string value) { }
        public void WriteUInt32(uint value) { }
        public void WriteUInt64(ulong value) { }
    }

    public sealed class UnknownFieldSet
    {
        public static UnknownFieldSet Clone(UnknownFieldSet other) { return null; }
        public static UnknownFieldSet MergeFrom(UnknownFieldSet a, UnknownFieldSet b) { return null; }
        public static UnknownFieldSet MergeFieldFrom(UnknownFieldSet a, CodedInputStream b) { return null; }
        public int CalculateSize() { return 0; }
        public void WriteTo(CodedOutputStream output) { }
    }

    public static class JsonFormatter
    {
        public static string ToDiagnosticString(IMessage message) { return null; }
    }

    public static class ProtoPreconditions
    {
        public static T CheckNotNull<T>(T value, string name) where T : class { return value; }
    }

    public sealed class FieldCodec<T>
    {
    }

    public static class FieldCodec
    {
        public static FieldCodec<string> ForString(uint tag, string value = "") { return null; }
        public static FieldCodec<float> ForFloat(uint tag, float value = 0) { return null; }
        public static FieldCodec<T> ForEnum<T>(uint tag, Func<T, int> to, Func<int, T> from) { return null; }
        public static FieldCodec<T> ForEnum<T>(uint tag, Func<T, int> to, Func<int, T> from, T value) { return null; }
        public static FieldCodec<T> ForMessage<T>(uint tag, MessageParser<T> parser) where T : class, IMessage<T> { return null; }
    }
}

namespace Google.Protobuf.Collections
{
    public sealed class RepeatedField<T> : IList<T>, IReadOnlyList<T>
    {
        public int Count { get { return 0; } }
        public bool IsReadOnly { get { return false; } }
        public T this[int index] { get { return default(T); } set { } }
        public void Add(T item) { }
        public void Add(IEnumerable<T> items) { }
        public void AddEntriesFrom(CodedInputStream input, FieldCodec<T> codec) { }
        public int CalculateSize(FieldCodec<T> codec) { return 0; }
        public void Clear() { }
        public RepeatedField<T> Clone() { return null; }
        public bool Contains(T item) { return false; }
        public void CopyTo(T[] array, int index) { }
        public IEnumerator<T> GetEnumerator() { return null; }
        IEnumerator IEnumerable.GetEnumerator() { return null; }
        public int IndexOf(T item) { return 0; }
        public void Insert(int index, T item) { }
        public bool Remove(T item) { return false; }
        public void RemoveAt(int index) { }
        public void WriteTo(CodedOutputStream output, FieldCodec<T> codec) { }
    }

    public sealed class MapField<K, V>
    {
        public sealed class Codec
        {
            public Codec(FieldCodec<K> key, FieldCodec<V> value, uint tag) { }
        }

        public void Add(MapField<K, V> other) { }
        public void AddEntriesFrom(CodedInputStream input, Codec codec) { }
        public int CalculateSize(Codec codec) { return 0; }
        public MapField<K, V> Clone() { return null; }
        public void MergeFrom(MapField<K, V> other) { }
        public void WriteTo(CodedOutputStream output, Codec codec) { }
    }

    public static class ProtobufEqualityComparers
    {
        public static EqualityComparer<double> BitwiseDoubleEqualityComparer { get { return null; } }
        public static EqualityComparer<float> BitwiseSingleEqualityComparer { get { return null; } }
    }
}

namespace Google.Protobuf.Reflection
{
    public sealed class OriginalNameAttribute : Attribute
    {
        public OriginalNameAttribute(string name) { }
        public bool PreferredAlias { get; set; }
    }

    public sealed class GeneratedClrTypeInfo
    {
        public GeneratedClrTypeInfo(Type[] enums, object[] extensions, GeneratedClrTypeInfo[] messages) { }
        public GeneratedClrTypeInfo(Type type, MessageParser parser, string[] properties, string[] oneofs, Type[] enums, object[] extensions, GeneratedClrTypeInfo[] nested) { }
    }

    public sealed class MessageDescriptor
    {
        public IList<MessageDescriptor> NestedTypes { get { return null; } }
    }

    public sealed class FileDescriptor
    {
        public IList<MessageDescriptor> MessageTypes { get { return null; } }
        public static FileDescriptor FromGeneratedCode(byte[] data, FileDescriptor[] imports, GeneratedClrTypeInfo info) { return null; }
    }
}

namespace Google.Protobuf.WellKnownTypes
{
    public abstract class KnownType<T> : IMessage<T> where T : IMessage<T>
    {
        public Reflection.MessageDescriptor Descriptor { get { return null; } }
        public int CalculateSize() { return 0; }
        public T Clone() { return default(T); }
        public bool Equals(T other) { return false; }
        public void MergeFrom(T message) { }
        public void MergeFrom(CodedInputStream input) { }
        public void WriteTo(CodedOutputStream output) { }
    }

    public sealed class Duration : KnownType<Duration>
    {
    }

    public sealed class Timestamp : KnownType<Timestamp>
    {
    }

    public static class DurationReflection
    {
        public static Reflection.FileDescriptor Descriptor { get { return null; } }
    }

    public static class TimestampReflection
    {
        public static Reflection.FileDescriptor Descriptor { get { return null; } }
    }
}
