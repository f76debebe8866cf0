#pragma once

#include "Components/ActorComponent.h"

class USkeletalMeshComponent : public UActorComponent {
 public:
  void SetMorphTarget(FName, float, bool = true) {}
};
