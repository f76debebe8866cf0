// A live session with a talking-avatar server, without a word of Unity: Grpc.Core.Api and
// Google.Protobuf alone, so it serves any .NET program. Two tasks of its own talk to the server; no
// method here waits for the network.
using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Threading;
using System.Threading.Tasks;
using Google.Protobuf;
using Grpc.Core;
using TalkingAvatar.V1;

namespace TalkingAvatar
{
    /// <summary>One session. Every member may be used from any thread.</summary>
    public sealed class AvatarStream : IDisposable
    {
        // At 30 frames a second, two seconds: a game that stops reading holds no more than that.
        private const int MostFrames = 60;

        // What grpc_csharp_plugin would generate for the one call that is needed.
        private static readonly Method<StreamSpeakRequest, StreamSpeakResponse> StreamSpeak =
            new Method<StreamSpeakRequest, StreamSpeakResponse>(
                MethodType.DuplexStreaming,
                "avatar.v1.AvatarService",
                "StreamSpeak",
                Marshallers.Create(
                    (StreamSpeakRequest message) => message.ToByteArray(),
                    (byte[] data) => StreamSpeakRequest.Parser.ParseFrom(data)),
                Marshallers.Create(
                    (StreamSpeakResponse message) => message.ToByteArray(),
                    (byte[] data) => StreamSpeakResponse.Parser.ParseFrom(data)));

        private readonly AsyncDuplexStreamingCall<StreamSpeakRequest, StreamSpeakResponse> call;
        private readonly CancellationTokenSource cancellation = new CancellationTokenSource();
        private readonly ConcurrentQueue<StreamSpeakRequest> requests = new ConcurrentQueue<StreamSpeakRequest>();
        private readonly SemaphoreSlim requestCount = new SemaphoreSlim(0);
        private readonly ConcurrentQueue<Frame> frames = new ConcurrentQueue<Frame>();
        private readonly SemaphoreSlim room = new SemaphoreSlim(MostFrames);
        private readonly object interrupting = new object();
        private int interruptsUnderWay; // until the last has taken effect, frames are of the past
        private volatile bool finishing;
        private volatile bool ended;
        private volatile string error = "";
        private volatile IReadOnlyList<string> blendshapeNames = new string[0];

        /// <param name="channel">Where the server is.</param>
        /// <param name="config">What the session shall be.</param>
        /// <param name="token">Bearer token; null for none.</param>
        public AvatarStream(ChannelBase channel, SessionConfig config, string token = null)
        {
            var metadata = new Metadata();
            if (!string.IsNullOrEmpty(token))
            {
                metadata.Add("authorization", "Bearer " + token);
            }
            var options = new CallOptions(headers: metadata, cancellationToken: cancellation.Token);
            call = channel.CreateCallInvoker().AsyncDuplexStreamingCall(StreamSpeak, null, options);
            Send(new StreamSpeakRequest { Config = config });
            Task.Run(WriteAll);
            Task.Run(ReadAll);
        }

        /// <summary>Meaning of Frame.Blendshapes in ARKit's camelCase; empty until the session began.</summary>
        public IReadOnlyList<string> BlendshapeNames { get { return blendshapeNames; } }

        /// <summary>Nothing follows what TryNextFrame still holds.</summary>
        public bool Ended { get { return ended; } }

        /// <summary>Why the session ended, in words; empty where it ended well or goes on.</summary>
        public string Error { get { return error; } }

        /// <summary>Adds sound in the format of the session, at most 10 s at once.</summary>
        public void PushAudio(byte[] data, string utteranceId = "")
        {
            var chunk = new AudioChunk { Data = ByteString.CopyFrom(data), UtteranceId = utteranceId };
            Send(new StreamSpeakRequest { Audio = chunk });
        }

        /// <summary>All sound of the open utterance has come.</summary>
        public void EndUtterance()
        {
            Send(new StreamSpeakRequest { EndUtterance = new EndUtterance() });
        }

        /// <summary>Be silent now. Frames of what was said before are never given again.</summary>
        public void Interrupt()
        {
            lock (interrupting)
            {
                interruptsUnderWay++;
                Frame dropped;
                while (TryNextFrame(out dropped))
                {
                }
            }
            Send(new StreamSpeakRequest { Interrupt = new Interrupt() });
        }

        /// <summary>Nothing more will be said: the session ends after its last frame.</summary>
        public void Finish()
        {
            finishing = true;
            requestCount.Release();
        }

        /// <summary>Takes the next frame; false where none is there.</summary>
        public bool TryNextFrame(out Frame frame)
        {
            if (!frames.TryDequeue(out frame))
            {
                return false;
            }
            room.Release();
            return true;
        }

        /// <summary>Cancels the session where it has not ended.</summary>
        public void Dispose()
        {
            cancellation.Cancel();
            call.Dispose();
        }

        private void Send(StreamSpeakRequest request)
        {
            requests.Enqueue(request);
            requestCount.Release();
        }

        private async Task WriteAll()
        {
            try
            {
                while (true)
                {
                    await requestCount.WaitAsync(cancellation.Token);
                    StreamSpeakRequest request;
                    if (requests.TryDequeue(out request))
                    {
                        await call.RequestStream.WriteAsync(request);
                    }
                    else if (finishing)
                    {
                        await call.RequestStream.CompleteAsync();
                        return;
                    }
                }
            }
            catch (Exception reason) when (reason is RpcException || reason is OperationCanceledException)
            {
                // The reader learns the same, and says why.
            }
        }

        private async Task ReadAll()
        {
            try
            {
                while (await call.ResponseStream.MoveNext(cancellation.Token))
                {
                    await Take(call.ResponseStream.Current);
                }
            }
            catch (RpcException reason)
            {
                error = reason.Status.Detail;
            }
            catch (OperationCanceledException)
            {
                error = "cancelled";
            }
            ended = true;
        }

        private async Task Take(StreamSpeakResponse response)
        {
            switch (response.PartCase)
            {
                case StreamSpeakResponse.PartOneofCase.Started:
                    blendshapeNames = new List<string>(response.Started.BlendshapeNames);
                    break;
                case StreamSpeakResponse.PartOneofCase.Event:
                    lock (interrupting)
                    {
                        if (response.Event.Type == Event.Types.Type.Interrupted)
                        {
                            interruptsUnderWay--;
                        }
                    }
                    break;
                case StreamSpeakResponse.PartOneofCase.Frame:
                    // With the game not reading, the server is not read either: it waits.
                    await room.WaitAsync(cancellation.Token);
                    lock (interrupting)
                    {
                        if (interruptsUnderWay == 0)
                        {
                            frames.Enqueue(response.Frame);
                            return;
                        }
                    }
                    room.Release();
                    break;
            }
        }
    }
}
