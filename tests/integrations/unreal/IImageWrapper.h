#pragma once

#include "CoreMinimal.h"

enum class EImageFormat { JPEG };
enum class ERGBFormat { BGRA };

class IImageWrapper {
 public:
  bool SetCompressed(const void*, int64) { return false; }
  bool GetRaw(ERGBFormat, int32, TArray<uint8>&) { return false; }
  int64 GetWidth() const { return 0; }
  int64 GetHeight() const { return 0; }
};
