// Stand-ins for the parts of Unity that the example uses. Nothing here does anything.
using System;

namespace UnityEngine
{
    public class Object
    {
        public static void Destroy(Object thing) { }
    }

    public class Component : Object
    {
        public T GetComponent<T>() { return default(T); }
    }

    public class MonoBehaviour : Component
    {
        public bool enabled { get; set; }
    }

    /// <summary>The class that a namespace named Avatar would hide.</summary>
    public class Avatar : Object
    {
    }

    public class Mesh : Object
    {
        public int blendShapeCount { get { return 0; } }
        public string GetBlendShapeName(int index) { return null; }
    }

    public class Material : Object
    {
        public Texture mainTexture { get; set; }
    }

    public class Renderer : Component
    {
        public Material material { get; set; }
    }

    public class SkinnedMeshRenderer : Renderer
    {
        public Mesh sharedMesh { get; set; }
        public void SetBlendShapeWeight(int index, float value) { }
    }

    public class Texture : Object
    {
    }

    public class Texture2D : Texture
    {
        public Texture2D(int width, int height) { }
    }

    public static class ImageConversion
    {
        public static bool LoadImage(this Texture2D texture, byte[] data) { return false; }
    }

    public class AudioSource : Component
    {
        public AudioClip clip { get; set; }
        public bool loop { get; set; }
        public void Play() { }
        public void Stop() { }
    }

    public class AudioClip : Object
    {
        public delegate void PCMReaderCallback(float[] data);

        public static AudioClip Create(string name, int samples, int channels, int frequency, bool stream, PCMReaderCallback reader) { return null; }
    }

    public static class Debug
    {
        public static void LogError(object message) { }
    }

    public sealed class TooltipAttribute : Attribute
    {
        public TooltipAttribute(string words) { }
    }

    public sealed class RequireComponent : Attribute
    {
        public RequireComponent(Type type) { }
    }
}

namespace Game
{
    using UnityEngine;

    /// <summary>Code of a game, in which the plain name must still mean Unity's class.</summary>
    public class Rig
    {
        public Avatar avatar = new Avatar();
    }
}
