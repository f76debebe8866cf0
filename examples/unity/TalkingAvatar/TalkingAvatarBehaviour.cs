// A head that speaks: put the component beside an AudioSource, point Heads at skinned meshes with
// ARKit's 52 blend shapes (or Picture at a renderer), and push sound.
using System;
using System.Collections.Generic;
using Cysharp.Net.Http;
using Grpc.Net.Client;
using TalkingAvatar.V1;
using UnityEngine;

namespace TalkingAvatar
{
    [RequireComponent(typeof(AudioSource))]
    public sealed class TalkingAvatarBehaviour : MonoBehaviour
    {
        [Tooltip("Where `avatar serve` listens.")]
        public string address = "http://127.0.0.1:50051";

        [Tooltip("Bearer token, where the server wants one.")]
        public string token = "";

        [Tooltip("Whose photo to draw into Picture; empty where curves are enough.")]
        public string avatarId = "";

        [Tooltip("Longer side of the pictures in pixels; 0 for the photo's own.")]
        public int pictureSize = 512;

        [Tooltip("Of the sound that is pushed, in hertz.")]
        public int sampleRate = 16000;

        [Tooltip("Their blend shapes get the curves.")]
        public SkinnedMeshRenderer[] heads = new SkinnedMeshRenderer[0];

        [Tooltip("Its main texture gets the pictures.")]
        public Renderer picture;

        private GrpcChannel channel;
        private AvatarStream stream;
        private Texture2D texture;
        private List<int[]> places; // of each head, the blend shape of each curve; -1 where it has none
        private readonly Queue<float> sound = new Queue<float>();

        /// <summary>Signed 16-bit samples, mono, as a speech synthesiser gives them.</summary>
        public void PushAudio(byte[] pcm16)
        {
            // The server takes at most 10 s in one message.
            var most = 2 * sampleRate;
            for (var begin = 0; begin < pcm16.Length; begin += most)
            {
                var part = new byte[Math.Min(most, pcm16.Length - begin)];
                Buffer.BlockCopy(pcm16, begin, part, 0, part.Length);
                stream.PushAudio(part);
            }
        }

        public void EndUtterance()
        {
            stream.EndUtterance();
        }

        /// <summary>The player speaks: be silent now.</summary>
        public void Interrupt()
        {
            stream.Interrupt();
            lock (sound)
            {
                sound.Clear();
            }
        }

        private void OnEnable()
        {
            // Unity's own HttpClient speaks no HTTP/2, which gRPC needs.
            var handler = new YetAnotherHttpHandler { Http2Only = true };
            channel = GrpcChannel.ForAddress(address, new GrpcChannelOptions
            {
                HttpHandler = handler,
                DisposeHttpClient = true,
                MaxReceiveMessageSize = 64 << 20,
            });
            var config = new SessionConfig
            {
                AvatarId = avatarId,
                Fps = 30,
                IdleFrames = true,
                Audio = new AudioFormat
                {
                    Encoding = AudioEncoding.PcmS16Le,
                    SampleRateHz = (uint)sampleRate,
                },
            };
            config.Outputs.Add(OutputKind.Blendshapes);
            config.Outputs.Add(OutputKind.Audio);
            if (avatarId.Length > 0)
            {
                config.Outputs.Add(OutputKind.Video);
                config.Video = new VideoFormat { Codec = VideoCodec.Jpeg, Size = (uint)pictureSize };
            }
            stream = new AvatarStream(channel, config, token);
            texture = new Texture2D(2, 2);
            if (picture != null)
            {
                picture.material.mainTexture = texture;
            }
            var voice = GetComponent<AudioSource>();
            voice.clip = AudioClip.Create("avatar", sampleRate, 1, sampleRate, true, ReadSound);
            voice.loop = true;
            voice.Play();
        }

        private void OnDisable()
        {
            GetComponent<AudioSource>().Stop();
            stream.Dispose();
            channel.Dispose();
            Destroy(texture);
            places = null;
        }

        private void Update()
        {
            // The server sends each frame when it is due. Where the game was slow and several have
            // come, the last one is shown, and the sound of all is played.
            var over = stream.Ended;
            Frame last = null;
            Frame frame;
            while (stream.TryNextFrame(out frame))
            {
                QueueSound(frame.Audio.ToByteArray());
                last = frame;
            }
            if (last != null)
            {
                Show(last);
            }
            if (over)
            {
                if (stream.Error.Length > 0)
                {
                    Debug.LogError("avatar: " + stream.Error);
                }
                enabled = false;
            }
        }

        private void Show(Frame frame)
        {
            if (places == null)
            {
                places = new List<int[]>();
                foreach (var head in heads)
                {
                    places.Add(FindShapes(head.sharedMesh, stream.BlendshapeNames));
                }
            }
            for (var h = 0; h < heads.Length; h++)
            {
                for (var k = 0; k < frame.Blendshapes.Count; k++)
                {
                    if (places[h][k] >= 0)
                    {
                        heads[h].SetBlendShapeWeight(places[h][k], 100f * frame.Blendshapes[k]);
                    }
                }
            }
            if (frame.Video != null)
            {
                texture.LoadImage(frame.Video.Data.ToByteArray());
            }
        }

        /// <summary>Meshes name their shapes "jawOpen", "JawOpen" or "Face.jawOpen".</summary>
        private static int[] FindShapes(Mesh mesh, IReadOnlyList<string> names)
        {
            var found = new int[names.Count];
            for (var k = 0; k < found.Length; k++)
            {
                found[k] = -1;
                for (var shape = 0; shape < mesh.blendShapeCount; shape++)
                {
                    var name = mesh.GetBlendShapeName(shape);
                    if (name.EndsWith(names[k], StringComparison.OrdinalIgnoreCase))
                    {
                        found[k] = shape;
                    }
                }
            }
            return found;
        }

        private void QueueSound(byte[] pcm16)
        {
            lock (sound)
            {
                for (var k = 0; k + 1 < pcm16.Length; k += 2)
                {
                    sound.Enqueue((short)(pcm16[k] | pcm16[k + 1] << 8) / 32768f);
                }
            }
        }

        /// <summary>Unity's audio thread asks for samples; silence where none have come.</summary>
        private void ReadSound(float[] data)
        {
            lock (sound)
            {
                for (var k = 0; k < data.Length; k++)
                {
                    data[k] = sound.Count > 0 ? sound.Dequeue() : 0f;
                }
            }
        }
    }
}
