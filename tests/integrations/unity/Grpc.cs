// Stand-ins for the parts of Grpc.Core.Api, Grpc.Net.Client and YetAnotherHttpHandler that the
// example uses. Nothing here does anything.
using System;
using System.Threading;
using System.Threading.Tasks;

namespace Grpc.Core
{
    public enum MethodType
    {
        Unary,
        ClientStreaming,
        ServerStreaming,
        DuplexStreaming,
    }

    public sealed class Marshaller<T>
    {
    }

    public static class Marshallers
    {
        public static Marshaller<T> Create<T>(Func<T, byte[]> serializer, Func<byte[], T> deserializer) { return null; }
    }

    public sealed class Method<TRequest, TResponse>
    {
        public Method(MethodType type, string serviceName, string name, Marshaller<TRequest> request, Marshaller<TResponse> response) { }
    }

    public sealed class Metadata
    {
        public void Add(string key, string value) { }
    }

    public struct CallOptions
    {
        public CallOptions(Metadata headers = null, DateTime? deadline = null, CancellationToken cancellationToken = default(CancellationToken)) { }
    }

    public abstract class CallInvoker
    {
        public abstract AsyncDuplexStreamingCall<TRequest, TResponse> AsyncDuplexStreamingCall<TRequest, TResponse>(Method<TRequest, TResponse> method, string host, CallOptions options)
            where TRequest : class
            where TResponse : class;
    }

    public abstract class ChannelBase
    {
        public abstract CallInvoker CreateCallInvoker();
    }

    public interface IAsyncStreamReader<T>
    {
        T Current { get; }
        Task<bool> MoveNext(CancellationToken cancellationToken);
    }

    public interface IClientStreamWriter<T>
    {
        Task WriteAsync(T message);
        Task CompleteAsync();
    }

    public sealed class AsyncDuplexStreamingCall<TRequest, TResponse> : IDisposable
    {
        public IAsyncStreamReader<TResponse> ResponseStream { get { return null; } }
        public IClientStreamWriter<TRequest> RequestStream { get { return null; } }
        public void Dispose() { }
    }

    public struct Status
    {
        public string Detail { get { return null; } }
    }

    public class RpcException : Exception
    {
        public Status Status { get { return default(Status); } }
    }
}

namespace Grpc.Net.Client
{
    public sealed class GrpcChannelOptions
    {
        public object HttpHandler { get; set; }
        public bool DisposeHttpClient { get; set; }
        public int? MaxReceiveMessageSize { get; set; }
    }

    public sealed class GrpcChannel : Grpc.Core.ChannelBase, IDisposable
    {
        public static GrpcChannel ForAddress(string address, GrpcChannelOptions options) { return null; }
        public override Grpc.Core.CallInvoker CreateCallInvoker() { return null; }
        public void Dispose() { }
    }
}

namespace Cysharp.Net.Http
{
    public sealed class YetAnotherHttpHandler
    {
        public bool? Http2Only { get; set; }
    }
}
