#pragma once

#include "CoreMinimal.h"

enum EPixelFormat { PF_B8G8R8A8 };

struct FUpdateTextureRegion2D {
  FUpdateTextureRegion2D(uint32, uint32, int32, int32, uint32, uint32) {}
};

class UTexture2D {
 public:
  static UTexture2D* CreateTransient(int32, int32, EPixelFormat) { return nullptr; }
  void UpdateResource() {}
  int32 GetSizeX() const { return 0; }
  int32 GetSizeY() const { return 0; }
  void UpdateTextureRegions(int32, uint32, const FUpdateTextureRegion2D*, uint32, uint32, uint8*,
                            void (*)(uint8*, const FUpdateTextureRegion2D*)) {}
};
