#pragma once

#include "CoreMinimal.h"

enum ELevelTick { LEVELTICK_All };
namespace EEndPlayReason {
enum Type { Destroyed };
}

struct FActorComponentTickFunction {
  bool bCanEverTick = false;
};

class UActorComponent {
 public:
  virtual ~UActorComponent() = default;
  virtual void BeginPlay() {}
  virtual void EndPlay(const EEndPlayReason::Type) {}
  virtual void TickComponent(float, ELevelTick, FActorComponentTickFunction*) {}
  FActorComponentTickFunction PrimaryComponentTick;
};
