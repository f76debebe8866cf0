#pragma once

#include "IImageWrapper.h"

class IImageWrapperModule {
 public:
  TSharedPtr<IImageWrapper> CreateImageWrapper(EImageFormat) { return {}; }
};
