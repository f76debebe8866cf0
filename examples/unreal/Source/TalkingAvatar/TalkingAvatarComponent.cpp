#include "TalkingAvatarComponent.h"

#include "IImageWrapper.h"
#include "IImageWrapperModule.h"
#include "Modules/ModuleManager.h"

UTalkingAvatarComponent::UTalkingAvatarComponent() { PrimaryComponentTick.bCanEverTick = true; }

void UTalkingAvatarComponent::BeginPlay() {
  Super::BeginPlay();
  talking_avatar::StreamConfig Config;
  Config.address = TCHAR_TO_UTF8(*Address);
  Config.token = TCHAR_TO_UTF8(*Token);
  Config.root_certificate = TCHAR_TO_UTF8(*RootCertificate);
  Config.avatar_id = TCHAR_TO_UTF8(*AvatarId);
  Config.sample_rate_hz = static_cast<uint32_t>(SampleRate);
  Config.pictures = !AvatarId.IsEmpty();
  Config.picture_size = static_cast<uint32_t>(PictureSize);
  Stream = std::make_unique<talking_avatar::AvatarStream>(Config);
}

void UTalkingAvatarComponent::EndPlay(const EEndPlayReason::Type Reason) {
  Stream.reset();
  Super::EndPlay(Reason);
}

void UTalkingAvatarComponent::PushAudio(const TArray<uint8>& Pcm16) {
  if (!Stream) return;
  // The server takes at most 10 s in one message.
  const int32 Most = 2 * SampleRate;
  for (int32 Begin = 0; Begin < Pcm16.Num(); Begin += Most) {
    const int32 Bytes = FMath::Min(Most, Pcm16.Num() - Begin);
    Stream->PushAudio(reinterpret_cast<const int16_t*>(Pcm16.GetData() + Begin),
                      static_cast<size_t>(Bytes) / sizeof(int16_t));
  }
}

void UTalkingAvatarComponent::EndUtterance() {
  if (Stream) Stream->EndUtterance();
}

void UTalkingAvatarComponent::Interrupt() {
  if (Stream) Stream->Interrupt();
}

void UTalkingAvatarComponent::TickComponent(float DeltaTime, ELevelTick TickType,
                                            FActorComponentTickFunction* ThisTickFunction) {
  Super::TickComponent(DeltaTime, TickType, ThisTickFunction);
  if (!Stream) return;
  // The server sends each frame when it is due. Where the game was slow and several have come, the
  // last one is shown, and the sound of all is played.
  const bool Over = Stream->Ended();
  talking_avatar::StreamFrame Frame, Last;
  bool Came = false;
  while (Stream->NextFrame(&Frame)) {
    TArray<uint8> Sound;
    Sound.Append(reinterpret_cast<const uint8*>(Frame.pcm16.data()),
                 static_cast<int32>(Frame.pcm16.size()));
    OnSound.Broadcast(Sound);
    Last = std::move(Frame);
    Came = true;
  }
  if (Came) Show(Last);
  if (Over) {
    const FString Error = UTF8_TO_TCHAR(Stream->Error().c_str());
    Stream.reset();
    OnEnded.Broadcast(Error);
  }
}

void UTalkingAvatarComponent::Show(const talking_avatar::StreamFrame& Frame) {
  if (Morphs.Num() == 0) {
    for (const std::string& Name : Stream->BlendshapeNames()) {
      Morphs.Add(FName(*(MorphPrefix + UTF8_TO_TCHAR(Name.c_str()))));
    }
  }
  if (Mesh) {
    const int32 Count = FMath::Min(Morphs.Num(), static_cast<int32>(Frame.blendshapes.size()));
    for (int32 K = 0; K < Count; ++K) {
      // Names of Unreal do not tell capitals apart, so jawOpen finds JawOpen as well.
      Mesh->SetMorphTarget(Morphs[K], Frame.blendshapes[static_cast<size_t>(K)]);
    }
  }
  if (!Frame.jpeg.empty()) ShowPicture(Frame.jpeg);
}

void UTalkingAvatarComponent::ShowPicture(const std::string& Jpeg) {
  IImageWrapperModule& Module =
      FModuleManager::LoadModuleChecked<IImageWrapperModule>(FName("ImageWrapper"));
  const TSharedPtr<IImageWrapper> Wrapper = Module.CreateImageWrapper(EImageFormat::JPEG);
  TArray<uint8> Pixels;
  if (!Wrapper.IsValid() ||
      !Wrapper->SetCompressed(Jpeg.data(), static_cast<int64>(Jpeg.size())) ||
      !Wrapper->GetRaw(ERGBFormat::BGRA, 8, Pixels)) {
    return;
  }
  const int32 Width = static_cast<int32>(Wrapper->GetWidth());
  const int32 Height = static_cast<int32>(Wrapper->GetHeight());
  if (!Picture || Picture->GetSizeX() != Width || Picture->GetSizeY() != Height) {
    Picture = UTexture2D::CreateTransient(Width, Height, PF_B8G8R8A8);
    Picture->UpdateResource();
  }
  // The render thread reads these later and frees them.
  uint8* Copy = new uint8[static_cast<size_t>(Pixels.Num())];
  FMemory::Memcpy(Copy, Pixels.GetData(), static_cast<SIZE_T>(Pixels.Num()));
  FUpdateTextureRegion2D* Region = new FUpdateTextureRegion2D(0, 0, 0, 0, Width, Height);
  Picture->UpdateTextureRegions(0, 1, Region, static_cast<uint32>(4 * Width), 4, Copy,
                                [](uint8* Data, const FUpdateTextureRegion2D* Done) {
                                  delete[] Data;
                                  delete Done;
                                });
}
