// A head that speaks: put the component on an actor, point Mesh at a skeletal mesh with ARKit's 52
// morph targets (or Picture at a material's texture), and push sound.
#pragma once

#include <memory>

#include "AvatarStream.h"
#include "Components/ActorComponent.h"
#include "Components/SkeletalMeshComponent.h"
#include "CoreMinimal.h"
#include "Engine/Texture2D.h"
#include "TalkingAvatarComponent.generated.h"

DECLARE_DYNAMIC_MULTICAST_DELEGATE_OneParam(FTalkingAvatarSound, const TArray<uint8>&, Pcm16);
DECLARE_DYNAMIC_MULTICAST_DELEGATE_OneParam(FTalkingAvatarEnded, const FString&, Error);

UCLASS(ClassGroup = (Avatar), meta = (BlueprintSpawnableComponent))
class TALKINGAVATAR_API UTalkingAvatarComponent : public UActorComponent {
  GENERATED_BODY()

 public:
  UTalkingAvatarComponent();

  // Where `avatar serve` listens.
  UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "Avatar")
  FString Address = TEXT("127.0.0.1:50051");

  // Bearer token, where the server wants one.
  UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "Avatar")
  FString Token;

  // PEM of who signed the server's certificate; empty for a connection that is not encrypted.
  UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "Avatar")
  FString RootCertificate;

  // Whose photo to draw into Picture; empty where curves are enough.
  UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "Avatar")
  FString AvatarId;

  // Longer side of the pictures in pixels; 0 for the photo's own.
  UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "Avatar")
  int32 PictureSize = 512;

  // Of the sound that is pushed, in hertz.
  UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "Avatar")
  int32 SampleRate = 16000;

  // Its morph targets get the curves.
  UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "Avatar")
  USkeletalMeshComponent* Mesh = nullptr;

  // Before the name of each morph target, as in "Face." for a head of several meshes.
  UPROPERTY(EditAnywhere, BlueprintReadWrite, Category = "Avatar")
  FString MorphPrefix;

  // The last picture; set it as a parameter of a material.
  UPROPERTY(BlueprintReadOnly, Category = "Avatar")
  UTexture2D* Picture = nullptr;

  // The sound of each frame when it is shown: queue it in a USoundWaveProcedural.
  UPROPERTY(BlueprintAssignable, Category = "Avatar")
  FTalkingAvatarSound OnSound;

  // The session is over; Error is empty where it ended well.
  UPROPERTY(BlueprintAssignable, Category = "Avatar")
  FTalkingAvatarEnded OnEnded;

  // Signed 16-bit samples, mono, as a speech synthesiser gives them.
  UFUNCTION(BlueprintCallable, Category = "Avatar")
  void PushAudio(const TArray<uint8>& Pcm16);

  UFUNCTION(BlueprintCallable, Category = "Avatar")
  void EndUtterance();

  // The player speaks: be silent now.
  UFUNCTION(BlueprintCallable, Category = "Avatar")
  void Interrupt();

  virtual void BeginPlay() override;
  virtual void EndPlay(const EEndPlayReason::Type Reason) override;
  virtual void TickComponent(float DeltaTime, ELevelTick TickType,
                             FActorComponentTickFunction* ThisTickFunction) override;

 private:
  void Show(const talking_avatar::StreamFrame& Frame);
  void ShowPicture(const std::string& Jpeg);

  std::unique_ptr<talking_avatar::AvatarStream> Stream;
  TArray<FName> Morphs;
};
